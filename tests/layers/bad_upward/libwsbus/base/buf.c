#include <stdint.h>

#include "../wire/envelope.h"
