// Package permission implements the digital rights permission code of IEC
// 62227:2008 and its amendment 1 as Lares uses it: tag-length-value units with
// a one-byte tag, and the permissions and usage constraints that IEC TS 62224
// names.
//
// The unit tags and what each unit is for follow the standard. The length
// field, the version value, order and repeats, every numeric code value and
// the inner layout of each condition are a local profile, until they are
// checked against the standard's text; Registry lists the numbers of a profile
// and marks each as standard or local, and the first byte of a Code says which
// profile wrote it.
//
// It does not decide anything: package license evaluates. It does not know
// policy beyond the code (field 8 of a license).
//
// The promise: a Code that Parse accepts encodes again to the same bytes,
// units it does not know included, Parse accepts what Encode writes, an error of
// either names the field, and every unknown unit or item that stands in a
// condition is reported by UnknownCritical.
package permission
