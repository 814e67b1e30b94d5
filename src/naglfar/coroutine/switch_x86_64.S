// The switch for x86-64, in the calling convention of System V.
//
// A stack that has stopped looks like this. Its Context is the address where
// the row begins; the numbers count bytes from there.
//
//   low                                                              high
//   | modes | r15 | r14 | r13 | r12 | rbx | rbp | return to | frames ...
//   0       8     16    24    32    40    48    56          64
//
// The modes are mxcsr and, from byte 4, the control word of the x87: how to
// round, and which floating-point errors are signals.
//
// A stack that has not started yet has no frames, but a place of 16 bytes:
//
//   | modes |                       | entry | 0 | naglfar_bottom | 0 | -  |
//   0       8                       40      48  56               64  72   80
//
// Invariant: the caller finds again what a called function must leave
// alone: rbx, rbp, r12 to r15, the modes, and rsp.
//
// This file asks of no other layer.

#include "switch_function.inc"

    .text

// [save-and-restore]
// One register, and where it is: for debuggers, and for unwinding.
.macro SAVE register, place
    movq \register, \place(%rsp)
    .cfi_rel_offset \register, \place
.endm

.macro RESTORE register, place
    movq \place(%rsp), \register
    .cfi_restore \register
.endm
// [/save-and-restore]

// [switch]
// rdi: where to leave the address of this stack's row. rsi: the row of the
// other stack.
FUNCTION naglfar_switch
    endbr64
    subq $56, %rsp              // the call has put the return address there
    .cfi_adjust_cfa_offset 56
    SAVE %r15, 8
    SAVE %r14, 16
    SAVE %r13, 24
    SAVE %r12, 32
    SAVE %rbx, 40
    SAVE %rbp, 48
    stmxcsr (%rsp)
    fnstcw 4(%rsp)

    movq %rsp, (%rdi)
    movq %rsi, %rsp             // from here on it is the other stack

    // [go-on]
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    RESTORE %r15, 8
    RESTORE %r14, 16
    RESTORE %r13, 24
    RESTORE %r12, 32
    RESTORE %rbx, 40
    RESTORE %rbp, 48
    addq $56, %rsp
    .cfi_adjust_cfa_offset -56
    // The jump goes to where that stack called the switch. A ret would, too,
    // but the processor would predict each time that it goes back to where
    // the first stack called, and be wrong.
    popq %rdx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rdx
    notrack jmp *%rdx           // no endbr64 stands behind a call
    // [/go-on]
END naglfar_switch
// [/switch]

// [first-frame]
// rdi: the high end of the stack. rsi: entry. Returns the row; or 0 if this
// process has a shadow stack, which only ucontext(3) moves along.
FUNCTION naglfar_first_frame
    endbr64
    xorl %eax, %eax
    rdsspq %rax                 // leaves the 0 where there is none
    testq %rax, %rax
    movl $0, %eax
    jnz 1f
    andq $-16, %rdi
    leaq -80(%rdi), %rax
    stmxcsr (%rax)              // the modes of its maker
    fnstcw 4(%rax)
    movq %rsi, 40(%rax)
    movq $0, 48(%rax)           // rbp: no frame below
    leaq naglfar_bottom(%rip), %rdx
    movq %rdx, 56(%rax)
    movq $0, 64(%rax)           // what lies where a return address would
1:  ret
END naglfar_first_frame

// Where the first switch goes, with entry in rbx, and rsp a multiple of 16 as
// a call must find it. Backtraces end here: it has no caller.
FUNCTION naglfar_bottom
    .cfi_undefined %rip
    callq *%rbx
    ud2                         // entry never returns
END naglfar_bottom
// [/first-frame]

// [notes]
#ifdef __ELF__
    .section .note.GNU-stack, "", %progbits     // no code on the stack

// .note.gnu.property: indirect branches land on endbr64 only (IBT, bit 0).
// The bit for shadow stacks is missing on purpose: the linker then leaves
// it out of the whole program, and no system switches them on for it.
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5              // sizes of name and content; the type
    .asciz "GNU"
    .long 0xc0000002, 4, 1, 0   // which property, its size, IBT, padding
#endif
// [/notes]
