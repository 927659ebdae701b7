package web

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The second recommended option of RFC 9106 section 4: 64 MiB, three passes, four lanes, 128-bit salt, 256-bit tag.
const (
	argonMemory = 64 << 10 // KiB
	argonPasses = 3
	argonLanes  = 4
	argonSalt   = 16
	argonTag    = 32
)

// maxPassword bounds what is hashed, in bytes.
const maxPassword = 1024

// HashPassword returns the argon2id hash of a password in the PHC string format, with a random salt. It takes about a
// tenth of a second and 64 MiB.
func HashPassword(password string) (string, error) {
	if password == "" {
		return "", errors.New("hash password: it is empty")
	}
	if len(password) > maxPassword {
		return "", fmt.Errorf("hash password: longer than %d bytes", maxPassword)
	}
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails
	tag := argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonLanes, argonTag)
	enc := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes, enc(salt), enc(tag)), nil
}

// phc is a parsed argon2id hash.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, tag      []byte
}

// parsePHC reads $argon2id$v=19$m=...,t=...,p=...$salt$tag. Costs beyond 1 GiB, 64 passes or 64 lanes are refused, so
// that a wrong line in a configuration cannot take the machine down.
func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return phc{}, errors.New("password hash: want an argon2id hash in the PHC format, $argon2id$v=19$m=...,t=...,p=...$salt$hash")
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, fmt.Errorf("password hash: only version %d of argon2id is understood", argon2.Version)
	}
	var p phc
	given := map[string]uint64{}
	for kv := range strings.SplitSeq(parts[3], ",") {
		k, v, _ := strings.Cut(kv, "=")
		n, err := strconv.ParseUint(v, 10, 32)
		if _, twice := given[k]; err != nil || twice {
			return phc{}, errors.New("password hash: the parameters must be m, t and p, each a number, each once")
		}
		given[k] = n
	}
	m, t, l := given["m"], given["t"], given["p"]
	if len(given) != 3 || m < 8 || m > 1<<20 || t < 1 || t > 64 || l < 1 || l > 64 || m < 8*l {
		return phc{}, errors.New("password hash: a parameter is missing or out of range (m 8 to 1048576 KiB and at least 8p, t 1 to 64, p 1 to 64)")
	}
	p.memory, p.passes, p.lanes = uint32(m), uint32(t), uint8(l)
	var err error
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(p.salt) < 8 || len(p.salt) > 64 {
		return phc{}, errors.New("password hash: the salt must be 8 to 64 bytes in base64 without padding")
	}
	if p.tag, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(p.tag) < 16 || len(p.tag) > 64 {
		return phc{}, errors.New("password hash: the hash must be 16 to 64 bytes in base64 without padding")
	}
	return p, nil
}

// matches compares in constant time.
func (p phc) matches(password string) bool {
	if len(password) > maxPassword {
		return false
	}
	tag := argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.lanes, uint32(len(p.tag)))
	return subtle.ConstantTimeCompare(tag, p.tag) == 1
}

// nobody is the hash that is tried for a name that does not exist, so that the answer takes as long.
func nobody() phc {
	return phc{memory: argonMemory, passes: argonPasses, lanes: argonLanes, salt: make([]byte, argonSalt), tag: make([]byte, argonTag)}
}
