// Package upnp implements the control point of a UPnP AV media renderer (UPnP AVTransport:1,
// UPnP Device Architecture 1.1): it finds the televisions and boxes of a house's network by
// SSDP, reads what they are, has one show a file that it fetches by its address, and asks how
// far it is. Source: docs/spec/device-api.md, "On a renderer".
//
// What it hears is strangers' words: a renderer is where its answer came from, it is told
// nothing but an address and a title, and no answer is larger than a bound. It serves no
// file, holds no key and decides nothing. The promise: no request goes to a machine other
// than the one that answered, and what is printed of a renderer is printable and short.
package upnp
