package loop

// RaceEnabled tells tests outside the package that allocations are not exact.
const RaceEnabled = raceEnabled
