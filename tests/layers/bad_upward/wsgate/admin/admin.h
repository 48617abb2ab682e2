struct wsg_admin;
