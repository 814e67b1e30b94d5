// The switch for 64-bit ARM, in its standard calling convention (AAPCS64).
//
// A stack that has stopped looks like this. Its Context is the address where
// the row begins; the numbers count bytes from there.
//
//   low                                                               high
//   | d8 .. d15 | x19 .. x28 | x29 | x30, return to | fpcr | - | frames ...
//   0           64           144   152              160    168 176
//
// fpcr is how to round, and which floating-point errors are signals.
//
// A stack that has not started yet has no frames:
//
//   |           | entry |    | 0   | naglfar_bottom | fpcr | - |
//   0           64      72   144   152              160    168 176
//
// Invariant: the caller finds again what a called function must leave
// alone: x19 to x29, the low halves of v8 to v15, fpcr, and sp.
//
// The processor may be older than some instructions. These are written as the
// hints that they are, because an older processor does nothing at a hint.
//
// This file asks of no other layer.

#include "switch_function.inc"

#define LANDING_PAD hint 34     // bti c: calls may land here
#define SIGN hint 25            // paciasp: x30, with sp; and a landing pad
#define AUTHENTICATE hint 29    // autiasp: takes the signature off again
#define SIGN_X17_WITH_X16 hint 8 // pacia1716

    .text

// [pairs]
// Two registers, and where they are: for debuggers, and for unwinding.
.macro SAVE one, other, place
    stp \one, \other, [sp, \place]
    .cfi_rel_offset \one, \place
    .cfi_rel_offset \other, \place + 8
.endm

.macro RESTORE one, other, place
    ldp \one, \other, [sp, \place]
    .cfi_restore \one
    .cfi_restore \other
.endm
// [/pairs]

// [switch]
// x0: where to leave the address of this stack's row. x1: the row of the
// other stack.
FUNCTION naglfar_switch
    SIGN
    .cfi_negate_ra_state
    sub sp, sp, 176
    .cfi_adjust_cfa_offset 176
    SAVE d8, d9, 0
    SAVE d10, d11, 16
    SAVE d12, d13, 32
    SAVE d14, d15, 48
    SAVE x19, x20, 64
    SAVE x21, x22, 80
    SAVE x23, x24, 96
    SAVE x25, x26, 112
    SAVE x27, x28, 128
    SAVE x29, x30, 144
    mrs x2, fpcr
    str x2, [sp, 160]

    mov x2, sp
    str x2, [x0]
    mov sp, x1                  // from here on it is the other stack

    // [go-on]
    ldr x2, [sp, 160]
    msr fpcr, x2
    RESTORE d8, d9, 0
    RESTORE d10, d11, 16
    RESTORE d12, d13, 32
    RESTORE d14, d15, 48
    RESTORE x19, x20, 64
    RESTORE x21, x22, 80
    RESTORE x23, x24, 96
    RESTORE x25, x26, 112
    RESTORE x27, x28, 128
    RESTORE x29, x30, 144
    add sp, sp, 176
    .cfi_adjust_cfa_offset -176
    AUTHENTICATE
    .cfi_negate_ra_state
    ret                         // to where that stack called the switch
    // [/go-on]
END naglfar_switch
// [/switch]

// [first-frame]
// x0: the high end of the stack. x1: entry. Returns the row.
FUNCTION naglfar_first_frame
    LANDING_PAD
    and x16, x0, -16            // sp, when the switch returns
    adr x17, naglfar_bottom
    SIGN_X17_WITH_X16
    sub x0, x16, 176
    str x1, [x0, 64]
    stp xzr, x17, [x0, 144]     // x29: no frame below
    mrs x2, fpcr                // the modes of its maker
    str x2, [x0, 160]
    ret
END naglfar_first_frame

// Where the first switch goes, with entry in x19. Backtraces end here: it
// has no caller.
FUNCTION naglfar_bottom
    .cfi_undefined x30
    blr x19
    brk 1                       // entry never returns
END naglfar_bottom
// [/first-frame]

// [notes]
#ifdef __ELF__
    .section .note.GNU-stack, "", %progbits     // no code on the stack

// .note.gnu.property: branches land on landing pads only (BTI, bit 0), and
// return addresses on the stack are signed (PAC, bit 1).
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5              // sizes of name and content; the type
    .asciz "GNU"
    .long 0xc0000000, 4, 3, 0   // which property, its size, bits, padding
#endif
// [/notes]
