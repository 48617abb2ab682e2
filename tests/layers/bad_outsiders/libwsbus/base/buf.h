struct wsb_buf;
