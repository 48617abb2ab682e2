struct wsb_envelope;
