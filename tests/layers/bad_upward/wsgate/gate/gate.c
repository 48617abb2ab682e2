#include "admin/admin.h"
