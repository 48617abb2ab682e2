#include "gate/gate.h"

#include <jansson.h>
