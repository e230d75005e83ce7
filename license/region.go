package license

import "sort"

// knownRegion reports whether a code is a country that ISO 3166-1 has assigned,
// or an area of the table of docs/spec/regions.md.
func knownRegion(code string) bool {
	if len(code) == 2 {
		return countryArea(code) != ""
	}
	return len(partsOf(code)) > 0 || holdsArea(partsOf(world), code)
}

// inRegion reports whether the country is the one that code names or lies in the
// area that it names. A country that ISO has not assigned is only itself: it
// lies in no area, not even in the world.
func inRegion(country, code string) bool {
	if len(code) == 2 {
		return country == code && isCapital(code[0]) && isCapital(code[1])
	}
	at := countryArea(country)
	return at != "" && (at == code || holdsArea(partsOf(code), at))
}

func isCapital(b byte) bool { return 'A' <= b && b <= 'Z' }

// countryArea gives the smallest area that a country lies in, and nothing for
// what is no country.
func countryArea(country string) string {
	const row = 2 + areaLen
	letters := func(i int) string { return countryAreas[i*row:][:2] }
	n := len(countryAreas) / row
	i := sort.Search(n, func(i int) bool { return letters(i) >= country })
	if i == n || letters(i) != country {
		return ""
	}
	return countryAreas[i*row:][2:row]
}

// partsOf gives the smallest areas of an area that has such, joined.
func partsOf(area string) string {
	for i := range areaParts {
		if areaParts[i].area == area {
			return areaParts[i].parts
		}
	}
	return ""
}

// holdsArea reports whether area is one of those joined in list.
func holdsArea(list, area string) bool {
	for ; list != ""; list = list[areaLen:] {
		if list[:areaLen] == area {
			return true
		}
	}
	return false
}
