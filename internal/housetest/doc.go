// Package housetest holds tests of the repository itself, and nothing else: who may import whom, that every reason code
// has its page, that links in the documentation lead somewhere, and that the commands and configurations shown there
// are accepted by the program.
//
// The rules stand in tables, each line with its reason, so that whoever runs into one can read why it is there before
// changing it.
package housetest
