#include <string.h>
#include <wsbus/err.h>

int main(void)
{
    return strcmp(wsb_err_name(WSB_OK), wsb_err_name(WSB_ERR_TIMEOUT)) == 0;
}
