// Package storebench implements what benches of an issuer need of its database
// beside internal/store: a PostgreSQL server of their own, and a database that
// has been in use for years.
//
// It is for internal/bench. What it writes into a database is what an issuer
// leaves behind there when every license was confirmed, but for keys and digests,
// which are random. It serves nothing and decides nothing.
//
// The promise: the rules of `lares issuer db check` hold in what it filled.
package storebench
