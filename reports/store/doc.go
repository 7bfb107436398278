// Package store keeps the runs of a project: a folder with the runs' own
// folders in it, and an index over them in SQLite.
//
// What it promises: a row is on disk when the call that writes it returns, and a
// process that is killed leaves whole rows. A run that is Running while nobody
// holds the store's [Lock] was killed; [Store.Orphans] finds it. Rows are never
// removed; the folders of old runs are ([Store.Prune]), and what a comparison
// needs of them stays in the row. Several processes may read and write at once.
package store
