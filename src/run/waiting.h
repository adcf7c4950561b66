/* waiting.h - a container that was made before its command is known: names in the folder box/ that its init waits by.
 *
 * The lock says that an init is there that waits, or has waited; it goes with the init. The command is a file of words,
 * each with a NUL behind it: the working folder, "uid:gid" or "", how many arguments there are, the arguments, and then
 * the environment. */
#ifndef RUN_WAITING_H
#define RUN_WAITING_H

#define WAITING_LOCK    "waiting"
#define WAITING_COMMAND "command"

#endif
