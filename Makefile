# make run: a face made sharp, a first training and its video.  make test: the whole suite;
# make test-fast: without the slow tests.

PYTHON ?= python3
TRAIN_TIME ?= 3
# make run TO=FOLDER trains in FOLDER/, next to an earlier run.
TO ?=

BIN := .venv/bin
SREZ := $(BIN)/python srez_main.py
# What the user has to type for that.
TYPED := $(if $(filter $(CURDIR)/.venv,$(VIRTUAL_ENV)),python3,$(BIN)/python) srez_main.py
FOLDERS := $(if $(TO),--train_dir $(TO)/train --checkpoint_dir $(TO)/checkpoint)
# A sheet every 20 batches, for a video of a few minutes' training.
TRAIN := $(SREZ) --run train --train_time $(TRAIN_TIME) --summary_period 20 $(FOLDERS)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Two processes share the tests, a file each in the order of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
CHECK := $(BIN)/ruff check . && $(BIN)/ruff format --check .
# With an NVIDIA driver, TensorFlow's pin with its CUDA libraries.
TENSORFLOW := $(shell sed -n 's/^tensorflow==/tensorflow$(if $(shell command -v nvidia-smi),[and-cuda])==/p' requirements.txt)
REAL := $(wildcard dataset img_align_celeba.zip)

define NEXT

Look at:
  sharp_compare.png: the face in docs/astronaut_small.png, and made sharp
  sharp_photo.png: the photo with that face put back
  $(TO:%=%/)train/demo1.mp4: how your own network learned, sheet by sheet

The weights in the box made that face (--weights shipped). For your own network
$(if $(TO),give --checkpoint_dir $(TO)/checkpoint in place of,leave out) these two words.
Three minutes teach it colours and outlines only: it is often worse than bicubic
interpolation. docs/sheet.png shows 12 minutes on drawn faces. Half an hour on
photos of real ones gives sharp faces; true ones take hours: see README.md, "How
good it is".

What to type next, for a photo me.jpg whose faces are up to 128 pixels wide:
  $(TYPED) --run infere --weights shipped -i me.jpg
for a page in the browser:
  $(TYPED) --run serve --weights shipped
for 30 minutes of training in all:
  make run TRAIN_TIME=30$(if $(TO), TO=$(TO))
$(if $(REAL),for the training's curves:,for real faces once img_align_celeba.zip is here:)
  $(if $(REAL),$(BIN)/tensorboard --logdir $(TO:%=%/)train,make run TO=real TRAIN_TIME=30)
endef
export NEXT

define STOPPED

Here is an earlier run, and it is left as it is. To train anew beside it:
  make run TO=second
endef
export STOPPED

.PHONY: run test test-fast bench clean

# Exit status 3: there is a run on other pictures or with other options.
run: .venv/ready test.jpg
	@echo "1 of 3: a face in a small photo, made sharp with the weights in the box"
	@$(SREZ) --run infere --weights shipped -i docs/astronaut_small.png -o sharp.png
	@echo; echo "2 of 3: a training of $(TRAIN_TIME) min"
	@$(TRAIN) || { status=$$?; [ $$status -ne 3 ] || echo "$$STOPPED"; exit $$status; }
	@echo; echo "3 of 3: its video"
	@$(SREZ) --run demo $(FOLDERS)
	@echo "$$NEXT"

test: .venv/ready-dev
	$(CHECK)
	$(PYTEST)

test-fast: .venv/ready-dev
	$(CHECK)
	$(PYTEST) -m "not slow"

# A drawn face that training never sees, for --run infere without a picture, unless there is one.
test.jpg: | .venv/ready
	@$(BIN)/python -c "from srez.drawn.faces import draw_face; draw_face(1, 0).save('$@', quality=95)"

.venv/ready: requirements.txt requirements/face.txt requirements/page.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "srez needs Python 3.11 or later, and \
	$(PYTHON) is " + sys.version.split()[0] + ": give another, as make PYTHON=python3.11 run")'
	@echo "Set-up, once: all goes into .venv, some 3 GB in a few minutes."
	@echo "  1 of 5: a Python environment"
	@$(PYTHON) -m venv --clear .venv
	@echo "  2 of 5: TensorFlow, the largest part"
	@$(PIP) "$(TENSORFLOW)"
	@echo "  3 of 5: what else srez needs"
	@$(PIP) -r requirements.txt
	@echo "  4 of 5: what finds faces in photos"
	@$(PIP) -r requirements/face.txt || echo "  It can't be installed here: srez takes the middle of a photo instead."
	@echo "  5 of 5: what the page in the browser is made with"
	@$(PIP) -r requirements/page.txt || echo "  It can't be installed here: all but --run serve works."
	@touch $@

.venv/ready-dev: requirements/*.txt .venv/ready
	$(PIP) -r requirements/dev.txt
	@touch $@

# Training, input and inference beside a textbook's; some five minutes.
bench: .venv/ready
	$(BIN)/python -m bench.speed.steps

clean:
	rm -rf .venv .cache
