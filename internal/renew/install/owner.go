package install

import (
	"fmt"
	"os/user"
	"strconv"
)

// owner is to whom a file is given; -1 leaves that part as it is.
type owner struct{ uid, gid int }

func nobody() owner { return owner{uid: -1, gid: -1} }

func (o owner) set() bool { return o.uid >= 0 || o.gid >= 0 }

func (o owner) String() string {
	switch {
	case o.gid < 0:
		return "user " + strconv.Itoa(o.uid)
	case o.uid < 0:
		return "group " + strconv.Itoa(o.gid)
	}
	return fmt.Sprintf("user %d and group %d", o.uid, o.gid)
}

// findOwner looks names up in the system's user database; numbers are taken as they are. It is asked at each Install,
// because a package update may have made the user anew.
func findOwner(name, group string) (owner, error) {
	o := nobody()
	if name != "" {
		id, err := number(name)
		if err != nil {
			u, lerr := user.Lookup(name)
			if lerr != nil {
				return o, fmt.Errorf("owner %q: %w", name, lerr)
			}
			if id, err = number(u.Uid); err != nil {
				return o, fmt.Errorf("owner %q: %w", name, err)
			}
		}
		o.uid = id
	}
	if group != "" {
		id, err := number(group)
		if err != nil {
			g, lerr := user.LookupGroup(group)
			if lerr != nil {
				return o, fmt.Errorf("group %q: %w", group, lerr)
			}
			if id, err = number(g.Gid); err != nil {
				return o, fmt.Errorf("group %q: %w", group, err)
			}
		}
		o.gid = id
	}
	return o, nil
}

func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}
