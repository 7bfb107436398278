// Package docker holds the files from which images are built and the stack is
// configured. There is no logic in it.
package docker

import _ "embed"

// NodeDockerfile builds the image of a node.
//
//go:embed node.Dockerfile
var NodeDockerfile []byte
