// Package app wires the rooms of notafter together. It is the only one that knows all of them: [New] builds the
// product from a configuration, and [App.Run] runs it until it is told to stop.
package app
