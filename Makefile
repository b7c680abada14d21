# make help says what there is. Everything lands in build/; a second run redoes only what is stale.

board   ?= esp32
name    ?= rehab
port    ?=
folds   ?=
stream  ?=
# framework=arduino or idf is another word for the board file of that ending.
ifneq ($(filter-out arduino idf platformio,$(framework)),)
$(error framework=$(framework): there are arduino, idf and platformio)
endif
ifneq ($(filter arduino idf,$(framework)),)
ifneq ($(wildcard boards/$(board)-$(framework).toml),)
override board := $(board)-$(framework)
else ifeq ($(shell grep -l '^\[$(framework)\]' boards/$(board).toml),)
$(error framework=$(framework): there is no boards/$(board)-$(framework).toml)
endif
endif
# Without runtime=, the first that the board file names, else compiled.
ifndef runtime
runtime := $(or $(shell sed -n 's/^runtimes = \["\([a-z]*\)".*/\1/p' 'boards/$(board).toml' 2>/dev/null),compiled)
endif
# TFLite Micro for runtime=tflm, where no framework brings it: folders of headers, a library, flags for its headers.
export TFLM_INCLUDE := $(or $(tflm_include),$(TFLM_INCLUDE))
export TFLM_LIBRARY := $(or $(tflm_library),$(TFLM_LIBRARY))
export TFLM_FLAGS   := $(or $(tflm_flags),$(TFLM_FLAGS))

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY     := .venv/bin/python
TRAINED  := build/$(name)
FIRMWARE := $(TRAINED)/$(board)-$(runtime)

# What the boards' compilers and emulators are called in Debian; the second line is for the tests only.
PACKAGES      := python3-venv gcc libc6-dev gcc-arm-none-eabi libnewlib-arm-none-eabi gcc-xtensa-lx106 \
                 picolibc-xtensa-lx106-elf qemu-system-arm qemu-system-misc gcc-avr avr-libc arduino-core-avr \
                 arduino-builder libsimavr-dev libelf-dev gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf
TEST_PACKAGES := $(PACKAGES) g++ libstdc++-arm-none-eabi-newlib clang libclang-rt-14-dev

.DELETE_ON_ERROR:
.PHONY: always help demo test model train hil self-test flash sketch idf platformio package boards models bench operators lint format lines clean distclean

help:
	@echo 'make demo                       the whole line for rehab on an emulated esp32, ending in a report'
	@echo 'make test                       every test'
	@echo 'make model board=B [name=N]     train, prune, quantize, generate and build the firmware of model N for board B'
	@echo 'make flash board=B port=P       write that firmware to the board on port P'
	@echo 'make hil board=B [port=P]       check it on the board, or without a port in the board'"'"'s emulator'
	@echo 'make ... stream=HOP             firmware that takes HOP rows of a window at a time (or SPEC.stream; 0: all)'
	@echo 'make ... runtime=tflm           with TensorFlow Lite Micro (tflm_include=FOLDERS tflm_library=FILE)'
	@echo 'make sketch board=B [name=N]    its Arduino sketch only, to open in the Arduino IDE'
	@echo 'make idf board=B-idf [name=N]   its ESP-IDF project only;  make platformio [name=N]  one for PlatformIO'
	@echo 'make self-test board=B [port=P]  harm the line to it on purpose, and judge the harness'"'"'s verdicts'
	@echo 'make package board=B [name=N]   model N as an Arduino library, ESP-IDF component and plain C, in one zip'
	@echo 'make ... pattern=2x2            zeros in this pattern, not in the one that the board'"'"'s core uses best; or channels'
	@echo 'make train name=N [folds=5]     train only; with folds, cross-validate'
	@echo 'make boards, make models        what there is'
	@echo 'make operators                  hold every operator against every engine, and write docs/OPERATORS.md'
	@echo 'make lint, make format          check or mend style;  make lines: how much code there is'
	@echo 'make bench                      instructions of an inference, beside other tools'
	@echo 'make clean, make distclean      remove build/; remove .venv too'
	@echo 'now: board=$(board) name=$(name) runtime=$(runtime)'

# Set-up

define install_packages
	@missing=$$(for package in $(1); do \
	    dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || echo $$package; done); \
	if [ -n "$$missing" ]; then \
	    missing=$$(echo $$missing); \
	    if [ "$$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root=sudo; else \
	        echo "error: Debian packages are missing" >&2; \
	        echo "  hint: apt-get install $$missing" >&2; exit 4; fi; \
	    echo "installing $$missing"; \
	    $$as_root apt-get update -q && \
	    DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -q -y --no-install-recommends $$missing; \
	fi
endef

.venv/packages:
	$(call install_packages,$(PACKAGES))
	@mkdir -p .venv && touch $@

.venv/test-packages:
	$(call install_packages,$(TEST_PACKAGES))
	@mkdir -p .venv && touch $@

.venv/ready: pyproject.toml | .venv/packages
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v[:2] != (3, 11))' || { \
	    echo "error: $(PYTHON): Python 3.11 is needed (tflite-runtime has no build for another)" >&2; \
	    echo "  hint: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 4; }
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[train]'
	@touch $@

.venv/test-ready: .venv/ready | .venv/test-packages
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[train,test]'
	@touch $@

# The line

STAGE = $(PY) -m pipeline

$(TRAINED)/windows.json: models/$(name)/model.py pipeline/windows.py pipeline/data.py pipeline/spec.py | .venv/ready
	$(STAGE).windows $(name)

$(TRAINED)/train.json: $(TRAINED)/windows.json pipeline/train.py pipeline/fit.py pipeline/network.py
	$(STAGE).train $(name)

# Where zeros may be is the board's core's to say, or pattern='s; another one is another model.
$(TRAINED)/pattern: always | .venv/ready
	@$(STAGE).pattern $(name) --board $(board) $(if $(pattern),--pattern $(pattern))

$(TRAINED)/prune.json: $(TRAINED)/pattern $(TRAINED)/train.json pipeline/prune.py pipeline/channels.py
	$(STAGE).prune $(name) --board $(board) --pattern "$$(cat $<)"

ifneq ($(shell grep -s '^READY = ' models/$(name)/model.py),)
$(TRAINED)/quantize.json: models/$(name)/model.py pipeline/ready.py pipeline/data.py pipeline/spec.py | .venv/ready
	$(STAGE).ready $(name)
else
$(TRAINED)/quantize.json: $(TRAINED)/prune.json pipeline/quantize.py pipeline/metrics.py
	$(STAGE).quantize $(name)
endif

COMPILER := $(wildcard pipeline/*.py pipeline/ops/*.py pipeline/templates/*.c.j2 pipeline/templates/*.h.j2)

# What stream= said last: another word makes the firmware stale.
.PHONY: said
$(FIRMWARE)/stream: said
	@mkdir -p $(@D) && { echo '$(stream)' | cmp -s - $@ || echo '$(stream)' > $@; }

$(FIRMWARE)/plan.json: $(TRAINED)/quantize.json $(COMPILER) $(FIRMWARE)/stream
	$(STAGE).generate $(name) --board $(board) --runtime $(runtime) $(if $(stream),--stream $(stream))

C_SOURCES := $(shell find firmware -type f)

$(FIRMWARE)/size.json: $(FIRMWARE)/plan.json $(wildcard boards/*.toml) $(C_SOURCES) \
    $(if $(filter tflm,$(runtime)),$(wildcard $(TFLM_LIBRARY) boards/local.toml))
	$(STAGE).build $(name) --board $(board) --runtime $(runtime)

# Commands

# Names are checked before an hour is spent on them.
.PHONY: check
check: | .venv/ready
	@$(STAGE) $(name) --board $(board) --runtime $(runtime) $(if $(pattern),--pattern $(pattern)) --check

ifeq ($(framework),platformio)
model: platformio
else
model: check
	@$(MAKE) --no-print-directory $(FIRMWARE)/size.json
endif

train: check
	@$(if $(folds),$(STAGE).train $(name) --folds $(folds),$(MAKE) --no-print-directory $(TRAINED)/train.json)

flash: model
	$(STAGE).flash $(name) --board $(board) --runtime $(runtime) --port '$(port)'

hil: model
	$(STAGE).hil $(if $(port),--port '$(port)',--board $(board) --name $(name) --runtime $(runtime))

self-test: model
	$(STAGE).hil --self-test $(if $(port),--port '$(port)',--board $(board) --name $(name) --runtime $(runtime)) \
	    $(if $(faults),--faults $(faults)) $(if $(seed),--seed $(seed))

demo:
	@$(MAKE) --no-print-directory hil board=esp32 name=rehab runtime=compiled port=
	@echo 'report: build/rehab/esp32-compiled/report.html'

# For somebody's own firmware: an Arduino library, which is an ESP-IDF component and plain C as well.
package: | .venv/ready
	@$(STAGE).boards $(board) >/dev/null
	@$(MAKE) --no-print-directory $(TRAINED)/quantize.json
	$(STAGE).package $(name) --board $(board)

# The Arduino sketch alone: for the Arduino IDE, with no compiler here.
sketch: | .venv/ready
	@$(STAGE).boards $(board) >/dev/null
	@$(MAKE) --no-print-directory $(FIRMWARE)/plan.json
	$(STAGE).sketch $(name) --board $(board) --runtime $(runtime)

# The same for ESP-IDF and PlatformIO.
idf: | .venv/ready
	@$(STAGE).boards $(board) >/dev/null
	@$(MAKE) --no-print-directory $(FIRMWARE)/plan.json
	$(STAGE).idf $(name) --board $(board) --runtime $(runtime)

platformio: | .venv/ready
	@$(MAKE) --no-print-directory $(TRAINED)/quantize.json
	$(STAGE).platformio $(name)

boards: | .venv/ready
	@$(STAGE).boards

models: | .venv/ready
	@$(STAGE).model_file

# Quality

test: .venv/test-ready
	REQUIRE_TOOLS=1 $(PY) -m pytest -n 2 --dist loadgroup

PYTHON_SOURCES := pipeline models tests benchmarks
C_FILES = $(shell find firmware tests -name '*.[ch]' -o -name '*.cc')

operators: .venv/test-ready
	WRITING_OPERATORS=1 $(PY) -m pytest -n 2 tests/ops/test_conformance.py -k 'not the_table'
	PYTHONPATH=.:tests $(PY) tests/ops/coverage.py

lint: .venv/test-ready
	$(PY) -m ruff check $(PYTHON_SOURCES)
	$(PY) -m ruff format --check $(PYTHON_SOURCES)
	$(PY) -m mypy
	.venv/bin/clang-format --dry-run --Werror $(C_FILES)

format: .venv/test-ready
	$(PY) -m ruff check --fix $(PYTHON_SOURCES)
	$(PY) -m ruff format $(PYTHON_SOURCES)
	.venv/bin/clang-format -i $(C_FILES)

# Counts of instructions beside bakeNN, which it installs in build/bench, and TFLite Micro; `make bench write=1`: into the README.
bench: | .venv/ready
	@for model in rehab bearing kws vww ic ad; do $(MAKE) --no-print-directory model name=$$model board=cortex-m4 || exit; done
	$(PY) benchmarks/kernels.py $(if $(write),--write)

lines:
	@for folder in pipeline firmware models boards tests benchmarks; do \
	    printf '%-12s %6d lines\n' $$folder \
	        $$(find $$folder -name '*.py' -o -name '*.[chS]' -o -name '*.j2' -o -name '*.toml' -o -name '*.ld' | xargs cat 2>/dev/null | wc -l); \
	done

clean:
	rm -rf build

distclean: clean
	rm -rf .venv
