raise SystemExit("the reason is written here")
