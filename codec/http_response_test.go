package codec

import "time"

var epoch = time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
