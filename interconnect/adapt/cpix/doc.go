// Package cpix implements the adapter for content key documents of the DASH
// Industry Forum: Content Protection Information Exchange (CPIX) 2.3 and 2.4,
// with XML Signature 1.1 and the part of XML Encryption 1.1 that CPIX uses.
// Limits and choices: docs/spec/cpix.md.
//
// Parse reads a document and leaves its keys wrapped; Open unwraps them for a
// recipient; Write makes a document for recipients, signed. A document that is
// to be signed gives nothing that a trusted signer has not covered: no wrapped,
// partial or foreign signature passes, and nothing is taken of a part whose
// identifier stands twice.
//
// It states no rights (a license does), validates no certificate chain (the
// caller names certificates), and knows of DRM systems only the bytes that an
// operator gives for them. XML is read by the host; a trusted module is handed
// wrapped key values, never a document.
//
// The promise: a document that was changed, or signed by another than the
// caller trusts, gives an error and no key.
package cpix
