/* xid.c - sources: the numbers that NVIDIA's k8s-device-plugin passes over as the application's (13, 31, 43, 45, 68,
 * 109), and the immediate actions of NVIDIA's Xid catalogue, docs.nvidia.com/deploy/xid-errors: RESTART_APP is
 * XID_RESTART, RESET_GPU and what is above it XID_BROKEN. */
#include "run/xid.h"

#include <stddef.h>

static const struct xid table[] = {
    { 13, XID_PROGRAM, "graphics engine exception" },
    { 31, XID_PROGRAM, "memory page fault" },
    { 43, XID_PROGRAM, "the GPU stopped the program's work" },
    { 45, XID_PROGRAM, "cleanup after a program that ended" },
    { 48, XID_BROKEN, "double-bit ECC error" },
    { 62, XID_BROKEN, "halt of the internal micro-controller" },
    { 63, XID_NOTED, "a row of its memory will be replaced at the next reset" },
    { 64, XID_BROKEN, "a row of its memory could not be replaced" },
    { 68, XID_PROGRAM, "video decoder exception" },
    { 74, XID_BROKEN, "NVLink error" },
    { 79, XID_BROKEN, "the GPU has fallen off the bus" },
    { 92, XID_BROKEN, "many single-bit ECC errors" },
    { 94, XID_RESTART, "ECC error that was contained in the program's memory" },
    { 95, XID_BROKEN, "ECC error that was not contained" },
    { 109, XID_PROGRAM, "timeout of a context switch" },
    { 119, XID_BROKEN, "the GPU's system processor does not answer" },
    { 120, XID_BROKEN, "error of the GPU's system processor" },
    { 140, XID_BROKEN, "ECC error that the GPU did not recover from" },
    { 143, XID_BROKEN, "the link to the GPU does not come up" },
    /* Comes with another one, and says only what that asks for. */
    { 154, XID_NOTED, "the action that recovers the GPU has changed" },
};

const struct xid *xid_of(int number)
{
    static const struct xid unknown = { 0, XID_BROKEN, "an error of the GPU" };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].number == number)
            return &table[i];
    return &unknown;
}
