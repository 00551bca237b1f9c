# Commands, each of which sets up what it needs in .venv; a set-up that holds already is left as it is.
#     make sweep ARGS="--dry-run --gpu rtx4090"     make test ARGS="-k extract"     make bench ARGS="--times 1,10"
# ARGS goes to the command; PYTHON=... chooses the interpreter, otherwise the first of CANDIDATES that is new enough.

VENV := .venv
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python3.10
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 10))
RUN := $(VENV)/bin/python -m

# pip settings that send packages elsewhere than into the virtual environment, whatever the rest of pip's configuration says.
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_NO_DEPS PIP_DRY_RUN
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# An environment whose interpreter is gone (removed, upgraded) is no set-up, whatever its stamps say.
$(shell $(VENV)/bin/python -c '' 2> /dev/null || rm -f $(VENV)/.installed $(VENV)/.installed-dev)

.PHONY: help sweep test bench engines
help:
	@echo 'make sweep  run the study here, or replay the recorded one where there is no GPU'
	@echo 'make test   lint, types and every test that needs no GPU'
	@echo 'make bench  time and memory of the analysis on a big trace, beside a bare SELECT'
	@echo 'make engines  ask each version of the installed engines what it makes of our options (no GPU; downloads)'

sweep: $(VENV)/.installed
	@$(RUN) study.sweep $(ARGS)

# The tests with a real nsys may skip only where none could be had. Two workers share the tests: ARGS="-n 0" is without.
test: $(VENV)/.installed-dev
	$(RUN) ruff check .
	$(RUN) mypy --strict
	@if $(RUN) launch.install nsys; then export NSYS_EXPECTED=1; fi; $(RUN) pytest -n 2 --dist worksteal -m 'not gpu' $(ARGS)

bench: $(VENV)/.installed
	@$(RUN) tests.bench $(ARGS)

# The engines are those of .venv-vllm and .venv-sglang, or ARGS="--vllm-python PATH --sglang-python PATH".
engines: $(VENV)/.installed
	@$(RUN) tests.engines $(ARGS)

$(VENV)/.installed: pyproject.toml
	@$(make-venv)
	@$(call install,.)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml
	@$(make-venv)
	@$(call install,.[dev])
	@touch $(VENV)/.installed $@

define install
echo 'Installing $(1) into $(VENV) ...'; \
$(RUN) pip install -qq 'pip>=21.3' && $(RUN) pip install -qq --editable '$(1)'
endef

# A half-made environment has no pip, so pip is what tells whether there is one.
define make-venv
if $(RUN) pip --version > /dev/null 2>&1; then exit 0; fi; \
found=; for python in $(or $(PYTHON),$(CANDIDATES)); do \
  if $$python -c '$(NEW_ENOUGH)' 2> /dev/null; then found=$$python; break; fi; \
done; \
if [ -z "$$found" ]; then \
  echo 'No Python 3.10 or newer among: $(or $(PYTHON),$(CANDIDATES)). Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; exit 1; \
fi; \
if ! $$found -c 'import ensurepip' 2> /dev/null; then \
  echo "$$found cannot make virtual environments. Install its venv package (Debian, Ubuntu: apt-get install python3-venv), or name another: PYTHON=..." >&2; exit 1; \
fi; \
$$found -m venv --clear $(VENV)
endef
