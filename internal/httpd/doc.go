// Package httpd implements the home server's HTTP side: the JSON API, the web
// pages, browser playback, and the doors that devices of the house use. Source:
// local, docs/spec/home-api.md.
//
// It translates between HTTP and service/home and decides nothing. What pages
// say is in messages/, ready for another language; which of it is said of a
// license or a device, in words.go. Pages and the API are for the owner: they answer only
// requests from this machine, under a host name that is known, and those of browsers in the
// network that the owner has let in, over HTTPS; so that neither
// another site nor a renamed address can use them, and no form does anything without the
// token that its page gave it. Devices reach pairing,
// relay, content files and the authority's statements, which need no trust; everyone
// in the network reaches the page that says how HTTPS of the house is trusted.
//
// The claim pages and the operators' console of an issuer are here too: the
// console does what an operator may do by asking the issuer's API.
//
// It does not listen, nor end TLS: internal/cli does. The
// promise: no page or answer holds a content key, every body that is read is
// bounded, and no script runs that is not a file of this package.
package httpd
