package license

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/language"
)

// regionPage is what docs/spec/regions.md says.
type regionPage struct {
	countries []string
	areas     map[string][]string // area to countries
	examples  [][]string          // country, code, yes or no
}

func readRegions(t *testing.T) regionPage {
	t.Helper()
	md, err := os.ReadFile("../docs/spec/regions.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```countries\n(.*?)```").FindSubmatch(md)
	if block == nil {
		t.Fatal("regions.md has no block of countries")
	}
	p := regionPage{countries: strings.Fields(string(block[1])), areas: map[string][]string{}}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d{3}) \| [\w -]+ \| (all|[A-Z ]+) \|$`).FindAllStringSubmatch(string(md), -1) {
		if p.areas[m[1]] != nil {
			t.Errorf("regions.md has area %s twice", m[1])
		}
		if p.areas[m[1]] = strings.Fields(m[2]); m[2] == "all" {
			p.areas[m[1]] = p.countries
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Z]{2}) \| (\w+) \| (yes|no) \|$`).FindAllStringSubmatch(string(md), -1) {
		p.examples = append(p.examples, m[1:])
	}
	if len(p.countries) != 249 || len(p.areas) != 31 || len(p.examples) < 10 {
		t.Fatalf("regions.md has %d countries, %d areas, %d examples", len(p.countries), len(p.areas), len(p.examples))
	}
	return p
}

// letterCodes gives every code of two capital letters.
func letterCodes() []string {
	var all []string
	for i := range 26 * 26 {
		all = append(all, string([]byte{'A' + byte(i/26), 'A' + byte(i%26)}))
	}
	return all
}

// The page lists codes as it promises, and the program knows these and no others.
func TestRegion_KnownCodesAreThePage(t *testing.T) {
	p := readRegions(t)
	known := slices.Clone(p.countries)
	for area, countries := range p.areas {
		known = append(known, area)
		if !slices.IsSorted(countries) || len(slices.Compact(slices.Clone(countries))) != len(countries) {
			t.Errorf("area %s: not sorted, each once", area)
		}
	}
	codes := append(letterCodes(), "", "D", "DEU", "de", "De", "DE ", "D\x00", "ÄÖ", "0", "01", "1", "0010", "00a", "٠٠١", "005011", "1AE", "039")
	for i := range 1000 {
		codes = append(codes, fmt.Sprintf("%03d", i))
	}
	for _, code := range codes {
		if got, want := knownRegion(code), slices.Contains(known, code); got != want {
			t.Errorf("knownRegion(%q) = %v, want %v", code, got, want)
		}
	}
}

// Every pair of two letters and an area, and every pair of countries.
func TestRegion_PairsAreThePage(t *testing.T) {
	p := readRegions(t)
	for _, country := range letterCodes() {
		for area, countries := range p.areas {
			if got, want := inRegion(country, area), slices.Contains(countries, country); got != want {
				t.Errorf("inRegion(%s, %s) = %v, want %v", country, area, got, want)
			}
		}
		for _, other := range p.countries {
			if got, want := inRegion(country, other), country == other; got != want {
				t.Errorf("inRegion(%s, %s) = %v, want %v", country, other, got, want)
			}
		}
	}
	for _, e := range p.examples {
		if got, want := inRegion(e[0], e[1]), e[2] == "yes"; got != want {
			t.Errorf("example: inRegion(%s, %s) = %v, want %v", e[0], e[1], got, want)
		}
	}
	for _, bad := range [][2]string{{"", ""}, {"", "001"}, {"DE", ""}, {"de", "de"}, {"dE", "dE"}, {"De", "De"}, {"de", "150"}, {"001", "001"}, {"155", "150"}, {"DEU", "150"}, {"DE", "DEU"}, {"DE", "276"}, {"DE", "1551"}} {
		if inRegion(bad[0], bad[1]) {
			t.Errorf("inRegion(%q, %q), want not", bad[0], bad[1])
		}
	}
}

// What the page says of how areas are made of others.
func TestRegion_AreasAreMadeOfAreas(t *testing.T) {
	p := readRegions(t)
	for area, parts := range map[string][]string{
		"001": {"002", "009", "019", "142", "150"},
		"002": {"015", "202"}, "202": {"011", "014", "017", "018"},
		"003": {"013", "021", "029"}, "019": {"021", "419"}, "419": {"005", "013", "029"},
		"009": {"053", "054", "057", "061"}, "142": {"030", "034", "035", "143", "145"}, "150": {"039", "151", "154", "155"},
	} {
		var sum []string
		for _, part := range parts {
			sum = append(sum, p.areas[part]...)
		}
		if area == world {
			sum = append(sum, "AQ") // in no other area
		}
		slices.Sort(sum)
		if !slices.Equal(sum, p.areas[area]) {
			t.Errorf("area %s is %v, its parts are %v", area, p.areas[area], sum)
		}
	}
}

// cldrOceania are the countries that CLDR 32, from which golang.org/x/text is
// made, puts into Oceania and no smaller area, in a region QO of its own
// ("Outlying Oceania"). The value is what M49 says instead; CLDR 48 follows M49
// in all but Antarctica.
var cldrOceania = map[string][]string{
	"AQ": {"001"},                      // Antarctica: M49 gives no area but the world
	"BV": {"001", "005", "019", "419"}, // Bouvet Island: South America
	"CC": {"001", "009", "053"},        // Cocos Islands: with Australia
	"CX": {"001", "009", "053"},        // Christmas Island: with Australia
	"GS": {"001", "005", "019", "419"}, // South Georgia: South America
	"HM": {"001", "009", "053"},        // Heard Island: with Australia
	"IO": {"001", "002", "014", "202"}, // Chagos: Eastern Africa
	"TF": {"001", "002", "014", "202"}, // French Southern Territories: Eastern Africa
	"UM": {"001", "009", "057"},        // the islands about Wake: Micronesia
}

// Every pair of a country and an area, against Unicode's data. Taiwan is no
// exception: M49 counts it with China, and both tables put it where China is.
func TestRegion_PairsAreUnicodes(t *testing.T) {
	p := readRegions(t)
	for _, country := range p.countries {
		var got, want []string
		for area := range p.areas {
			if inRegion(country, area) {
				got = append(got, area)
			}
			if language.MustParseRegion(area).Contains(language.MustParseRegion(country)) {
				want = append(want, area)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if m49, ok := cldrOceania[country]; ok {
			if !slices.Equal(want, []string{"001", "009"}) {
				t.Errorf("%s is no exception any more: Unicode says %v", country, want)
			}
			want = m49
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s lies in %v, want %v", country, got, want)
		}
	}
}

// cldrOnly are the countries of CLDR that have a number and are not replaced,
// yet ISO 3166-1 has them no longer or never had.
var cldrOnly = []string{
	"AN", "CS", "NT", "SU", "YU", // withdrawn, and divided among several others
	"XK", // Kosovo, from the codes that ISO leaves to users
}

func TestRegion_CountriesAreUnicodes(t *testing.T) {
	for _, code := range letterCodes() {
		r, err := language.ParseRegion(code)
		want := err == nil && r.IsCountry() && r.M49() != 0 && r.Canonicalize() == r && r.String() == code && !slices.Contains(cldrOnly, code)
		if got := knownRegion(code); got != want {
			t.Errorf("knownRegion(%s) = %v, want %v", code, got, want)
		}
	}
}

func TestRegion_AllocatesNothing(t *testing.T) {
	p := readRegions(t)
	n := testing.AllocsPerRun(10, func() {
		for _, country := range p.countries {
			for area := range p.areas {
				_ = knownRegion(country) && knownRegion(area) && inRegion(country, area)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
