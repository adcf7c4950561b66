echo "said $SM_HP_WORD: $*"
