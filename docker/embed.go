// Package docker holds the files from which images are built and the stack is
// configured. There is no logic in it.
package docker

import _ "embed"

// HarnessDockerfile builds what the container backend runs.
//
//go:embed harness.Dockerfile
var HarnessDockerfile []byte

// AlertmanagerConfig routes alerts by severity.
//
//go:embed alertmanager/alertmanager.yml
var AlertmanagerConfig []byte
