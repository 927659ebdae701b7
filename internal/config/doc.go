// Package config reads the one YAML file that declares what notafter watches and whom it tells.
//
// The doc comments of [Config] and the types it is made of are the reference manual; [Schema] turns them into a JSON
// Schema for editors. Decoding is strict: an unknown key, a value of the wrong kind, a name that leads nowhere and a
// secret written out in clear text are problems, each told on one line with file, line, column and key, all at once.
// A file with a problem is never used in part.
//
// A parsed [Config] holds no secrets, only references to them, until [Config.Resolve] reads what they point to.
// Nothing here looks at the network or at the time.
package config
