#include "handshake.h"

#include <openssl/sha.h>
