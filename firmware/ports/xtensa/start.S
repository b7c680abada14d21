/* From the loader to main(), in the call0 ABI. The loader may leave register windows on: off first, with a2 alone,
   because touching a4 and above could still trap. Data is in place already; only .bss is to be zeroed. */
    .section .text.start, "ax"
    .literal_position
    .global start
    .align 4
start:
    movi    a2, 0x2F            /* PS: interrupt level 15, user vector mode, no exception, no windows */
    wsr.ps  a2
    rsync
    movi    a2, 0
    wsr.intenable a2
    movi    a1, stack_top
    movi    a2, bss_start
    movi    a3, bss_end
    movi    a4, 0
    j       2f
1:  s32i    a4, a2, 0
    addi    a2, a2, 4
2:  bltu    a2, a3, 1b
    call0   main
3:  j       3b
