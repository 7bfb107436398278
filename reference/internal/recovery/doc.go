// Package recovery begins new incarnations of the platform (DESIGN section 7,
// rule 7): from the archive when all regions are gone (level 3), and from the
// replicas that are left when a majority is (level 2).
//
// An incarnation is a life of the whole cluster. Its number is in every
// handshake between nodes, in every identity on disk and in every name of the
// archive, so that what an earlier life promised, acknowledged or still has to
// say never meets the log of a later one.
//
// Data folders are made whole beside the one in use and put in its place by a
// rename; what was there is set aside, never deleted.
package recovery
