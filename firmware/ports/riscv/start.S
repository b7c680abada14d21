/* From the loader to main() on RISC-V. Data is in place already; only .bss is to be zeroed. */
    .section .text.start, "ax"
    .option arch, +zicsr
    .global start
    .align 2
start:
    csrw    mie, zero           /* no interrupt wakes anything unless the port asks for it, and none is taken */
    csrci   mstatus, 8
    la      t0, stop
    csrw    mtvec, t0
    la      sp, stack_top
    la      t0, bss_start
    la      t1, bss_end
    j       2f
1:  sw      zero, 0(t0)
    addi    t0, t0, 4
2:  bltu    t0, t1, 1b
    call    main

/* A fault ends here too: the host sees a silent device. mtvec wants an aligned address. */
    .align 8
stop:
    j       stop
