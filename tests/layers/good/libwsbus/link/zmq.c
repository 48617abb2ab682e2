#include "link/link.h"

#include <zmq.h>
