// Package install puts a renewed pair (a certificate with its chain, and its key) where a server reads it, and makes
// the server read it: files with a reload ([NewFiles]), a Kubernetes TLS secret ([NewKubernetesSecret]), a signed
// webhook ([NewWebhook]), or several of them in order ([NewSequence]).
//
// # What is promised
//
// Nothing is touched before key and certificate are seen to belong together. What an installer did is told in steps
// ([assure.StepMatch], [assure.StepInstall], [assure.StepReload], [assure.StepRollback]), whatever happens, and an
// error is an [*assure.Trouble] with the reason [assure.InstallFailed]. When it did not work, what was there before is
// there again, unless the step of the rollback says that this failed too. Whether the server really serves the new leaf
// is not judged here: a probe looks.
//
// # Files
//
// Every new file is complete on disk, with its mode and owner, under a temporary name in the directory where it belongs,
// before any old one is replaced. Then there are two layouts.
//
// Plain paths: each file's predecessor is kept beside it as NAME.previous (a hard link, so that it keeps its mode and
// owner), and then the new files are renamed over the old ones, one right after the other. Each file is always whole;
// between two renames a reader can see the new key with the old certificate. A crash there leaves such a mixture behind,
// and the next Install puts it right: it finds that the files in place do not belong together, keeps the .previous
// files, which do, for a rollback, and goes on.
//
// A directory of versions, DIRECTORY/versions/N with the link DIRECTORY/current -> versions/N: servers are configured
// with DIRECTORY/current/NAME, and the whole pair switches by the rename of one link. Old versions are kept, a bounded
// number of them. This is the layout to prefer where the reader allows it.
//
// Temporary names hold the destination's name and begin with a dot; leftovers of a crash are removed by the next Install
// for the same destination. Installs of one [Files] follow one another. Two processes must not install to the same place
// at the same time; the lease on a renewal sees to that.
//
// # Links and other people's directories
//
// A link at the destination is replaced, and what it points to is neither written nor read. Directories on the way are
// held open and everything is done relative to them, so that nobody can exchange them meanwhile. A link on the way is
// followed only when nobody but root and the process's own user could have put it there; anything else is refused. A
// directory in which everybody may replace files is refused.
//
// The last directory of a path is made when it is missing. Those above it are not: a slip of the pen should be seen.
//
// # Reload
//
// A command (no shell, a bounded time, its last words kept) or a signal to the process named by a pid file. When it fails, the
// pair from before is put back and the reload is tried once more, so that the server runs on what lies on disk. A signal
// has no answer: only the probe afterwards tells whether the server took the pair.
//
// # What it does not do
//
// It does not restore a Kubernetes secret or undo a webhook: an apply is one transaction of the API server, and what a
// receiver does with a webhook is its own business. A [Sequence] leaves the installers that worked as they are when a later one
// fails, and says so.
package install
