#include "link/link.h"
#include "net/conn.h"
#include "ws/handshake.h"
