struct wsg_conn;
