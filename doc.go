// Package lares implements nothing itself: it is the map from the terms of
// IEC TS 62224 to the packages of this module, and it carries docs/standard.md,
// the traceability table that `lares standard` prints.
//
// License information model:
//
//	license                     license, evaluation of its conditions, signature
//	license/ident               the common IDs (IEC 62227, ITU-T H.751)
//	license/permission          the permission code (IEC 62227), unit by unit
//	license/profile             defaults for home, mobile, automotive and cloud
//	license/scenario            stories about licenses: the simulator and the conformance vectors
//
// Security model:
//
//	security/pki                certification authorities, classes, Verify
//	security/pki/authority      what a certification authority does
//	security/revocation         which device, class or version is no longer trusted
//	security/revocation/crl     the same as RFC 5280 lists, and paths judged by lists alone
//	security/revocation/spread  how a revocation reaches households, simulated
//	security/recovery           the code and the backup that bring a household back
//	security/keystore           keys behind an interface
//	security/keystore/soft      a sealed file
//	security/keystore/pkcs11    a PKCS#11 token
//	security/keystore/tpm       a TPM 2.0
//	security/keystore/simnv     a simulated register, for tests and demonstrations
//	security/sltp               secure license transaction protocol
//	security/sltp/edhoc         its key exchange, RFC 9528
//	security/sltp/transfer      a license is neither lost nor doubled
//	security/trem               trusted and reliable execution module, from outside
//	security/trem/sim           boxes, disks and a relay that do their worst, simulated
//	security/trem/module        the same from inside: process, walls, commands
//	security/trem/trembench     workloads of benches that need what a module hides
//	security/trem/conform       judges a module, any maker's, by its answers
//
// Interconnection model:
//
//	interconnect/lrp            license relay protocol and its modules (LRM)
//	interconnect/lrp/http       its binding to HTTP
//	interconnect/lrp/unix       its binding to Unix sockets
//	interconnect/lrp/dnssd      discovery in a home
//	interconnect/lrp/file       its binding to files, as on a stick
//	interconnect/upnp           renderers of a home: televisions that fetch what they show
//	interconnect/adapt          DRM adaptation layer
//	interconnect/adapt/clearkey browsers
//	interconnect/adapt/cpix     content key documents of DASH-IF, and SPEKE
//	interconnect/adapt/example  a fictional format, built step by step in docs/guide
//	interconnect/adapt/hls      players without EME
//	interconnect/adapt/lcp      license and status documents of Readium LCP
//	interconnect/adapt/odrl     policies of the W3C Open Digital Rights Language
//
// License service model:
//
//	service/authority           serving a certification authority
//	service/issuer              content provider and license issuer
//	service/home                the household: domain, devices, library, playback
//
// Protected content (ISO/IEC 23001-7):
//
//	content                     reading, decrypting, link encryption
//	content/cenc                the four schemes, pssh
//	content/packager            clear film in, protected fragments out
//	content/film                the film of the demo
//
// It names no clause that the public sources do not show. The promise: a test
// fails when a row of the table names something that is not there.
package lares

import _ "embed" // the table is read by a command that may be far from the sources

// Standard is docs/standard.md: what IEC TS 62224 and its family say, one row a
// statement, and what shows it here. The command `lares standard` prints it.
//
//go:embed docs/standard.md
var Standard string
