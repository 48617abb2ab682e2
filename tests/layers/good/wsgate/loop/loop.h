#include <sys/epoll.h>

#include "base/buf.h"
