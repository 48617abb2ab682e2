#include "hub/deliver.h"
