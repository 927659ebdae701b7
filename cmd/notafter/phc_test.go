package main

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
)

// verifyPHC checks a hash by the PHC string format alone, without the code that made it.
func verifyPHC(t *testing.T, hash, password string) {
	t.Helper()
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != "v=19" {
		t.Fatalf("not a PHC string of argon2id: %q", hash)
	}
	var m, n, threads uint32
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &n, &threads); err != nil {
		t.Fatal(err)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		t.Fatal(err)
	}
	got := argon2.IDKey([]byte(password), salt, n, m, uint8(threads), uint32(len(key)))
	if string(got) != string(key) || len(salt) < 16 || m < 19<<10 {
		t.Errorf("the hash %q is not of the password, or weak", hash)
	}
}
