#include "hub/round.h"
#include "hub/groups.h"
#include "hub/nobody.h"
