/* From the boot ROM to main() on an RP2040. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

/* The second boot stage, by sections 2.8.1.3.1 and 4.10 of the RP2040 datasheet: the ROM copies it to RAM, checks it and
   calls it there. It makes the flash readable in place with command 03h, one bit wide, which every flash chip knows; then
   it goes on to the vectors behind it. The image maker puts the checksum into the last word. */
    .equ    SSI, 0x18000000
    .equ    SSI_CTRLR0, 0x00
    .equ    SSI_CTRLR1, 0x04
    .equ    SSI_SSIENR, 0x08
    .equ    SSI_SER, 0x10
    .equ    SSI_BAUDR, 0x14
    .equ    SSI_SPI_CTRLR0, 0xF4
    .equ    FLASH, 0x10000000
    .equ    VTOR, 0xE000ED08

    .section .boot2, "ax"
    .global boot2
    .type   boot2, %function
    .thumb_func
boot2:
    ldr     r3, =SSI
    movs    r0, #0
    str     r0, [r3, #SSI_SSIENR]       /* off while it is set up */
    movs    r1, #4
    str     r1, [r3, #SSI_BAUDR]        /* a quarter of the system clock: at most 33 MHz */
    ldr     r1, =(3 << 8 | 31 << 16)    /* send command and address, then read 32 bits */
    str     r1, [r3, #SSI_CTRLR0]
    str     r0, [r3, #SSI_CTRLR1]
    movs    r1, #1
    str     r1, [r3, #SSI_SER]
    ldr     r2, =(SSI + SSI_SPI_CTRLR0)
    ldr     r1, =(0x03 << 24 | 2 << 8 | 6 << 2) /* command 03h of 8 bits, 24 bits of address */
    str     r1, [r2]
    movs    r1, #1
    str     r1, [r3, #SSI_SSIENR]
    ldr     r0, =(FLASH + 0x100)
    ldr     r1, =VTOR
    str     r0, [r1]
    ldmia   r0!, {r1, r2}
    msr     msp, r1
    bx      r2
    .ltorg
    .space  252 - (. - boot2)
    .word   0

    .section .vectors, "a"
    .align  2
    .word   stack_top
    .word   reset
    .rept   13
    .word   stop
    .endr
    .word   on_tick
    .rept   20
    .word   stop
    .endr
    .word   on_receive      /* interrupt 20: UART0 */

/* Everything else is copied to RAM; in assembly, for a compiler may make a loop a call of what is not there yet. */
    .section .boot.text, "ax"
    .global reset
    .type   reset, %function
    .thumb_func
reset:
    ldr     r0, =copy_load
    ldr     r1, =copy_start
    ldr     r2, =copy_end
    b       2f
1:  ldmia   r0!, {r3}
    stmia   r1!, {r3}
2:  cmp     r1, r2
    blo     1b
    ldr     r1, =bss_start
    ldr     r2, =bss_end
    movs    r3, #0
    b       4f
3:  stmia   r1!, {r3}
4:  cmp     r1, r2
    blo     3b
    ldr     r0, =main
    blx     r0

/* A fault ends here: the host sees a silent device. */
    .type   stop, %function
    .thumb_func
stop:
    b       stop
    .ltorg
