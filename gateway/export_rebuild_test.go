package gateway

import (
	"strings"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// SettleName decides what a name stands for among versions that are told of in words,
// and gives of each what it is: * what the name stands for, - replaced, ? contested.
// A version is a letter, when it was begun and when it ended, and what else is to be
// said of it: r2 (of another recording), new, parts, replaced, shut.
func SettleName(mode Overwrite, texts []string) map[string]string {
	var all []*namesake
	for _, text := range texts {
		all = append(all, parseNamesake(text))
	}
	settleName(mode, all)
	out := map[string]string{}
	for _, v := range all {
		is := ""
		switch {
		case v.current:
			is = "*"
		case v.contested:
			is = "?"
		case v.state == catalog.Replaced:
			is = "-"
		}
		out[string(v.Version[:1])] = is
	}
	return out
}

func parseNamesake(text string) *namesake {
	words := strings.Fields(text)
	at := func(word string) time.Time { return time.Unix(int64(word[0]-'0'), 0) }
	v := &namesake{created: at(words[1]), ended: at(words[2]), opens: true, state: catalog.Committed}
	v.Version, v.Recording = recording.Version{words[0][0]}, recording.ID{1}
	for _, word := range words[3:] {
		switch word {
		case "r2":
			v.Recording = recording.ID{2}
		case "new":
			v.onlyNew = true
		case "parts":
			v.parts = true
		case "replaced":
			v.state = catalog.Replaced
		case "shut":
			v.opens = false
		}
	}
	return v
}
