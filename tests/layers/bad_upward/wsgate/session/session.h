struct wsg_session;
