// Package httpd implements the home server's HTTP side: the JSON API, the web
// pages, browser playback, and the doors that devices of the house use. Source:
// local, docs/spec/home-api.md.
//
// It translates between HTTP and service/home and decides nothing. Everything
// that pages and commands say to people is in words.go and, for the simulator,
// simulator_words.go, so that it can be translated. Pages and the API are for the owner: they answer only
// requests from this machine, under a host name that is known, so that neither
// another site nor a renamed address can use them. Devices reach pairing,
// relay, content files and the authority's statements, which need no trust.
//
// The claim pages and the operators' console of an issuer are here too: the
// console does what an operator may do by asking the issuer's API.
//
// It does not serve TLS; that comes with later work. The
// promise: no page or answer holds a content key, every body that is read is
// bounded, and no script runs that is not a file of this package.
package httpd
