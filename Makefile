# make run: a first training, its video and an enlarged picture.  make test: the whole suite;
# make test-fast: without the tests that train anew.  Two processes share the quick tests, a file
# each; the others have the machine for themselves.

PYTHON ?= python3
TRAIN_TIME ?= 3

BIN := .venv/bin
SREZ := $(BIN)/python srez_main.py
# A sheet every 20 batches, for a video of a few minutes' training.
TRAIN := $(SREZ) --run train --precision auto --train_time $(TRAIN_TIME) --summary_period 20
# With an NVIDIA driver, TensorFlow's pin with its CUDA libraries.
CUDA := $(if $(shell command -v nvidia-smi),"$(shell sed -n 's/^tensorflow==/tensorflow[and-cuda]==/p' requirements.txt)")

.PHONY: run test test-fast bench clean

# Exit status 3: there is a run on other pictures or with other options. Its results are kept, aside.
run: .venv/ready test.jpg
	$(TRAIN) || { [ $$? -eq 3 ] && $(TRAIN) --noresume; }
	$(SREZ) --run demo
	$(SREZ) --run infere
	@echo
	@echo "Look at:"
	@echo "  train/batch*_out.png   test faces: nearest | bicubic | generated | truth"
	@echo "  train/demo1.mp4        the same, as it learned"
	@echo "  result_compare.png     test.jpg: input | bicubic | result"
	@echo "  result.png             the result alone"
	@echo "and $(BIN)/tensorboard --logdir train for the curves."

test: test-fast
	$(BIN)/python -m pytest -m slow

test-fast: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

# A drawn face that training never sees, unless there is a picture already.
test.jpg: | .venv/ready
	$(BIN)/python -c "from srez.drawn.faces import draw_face; draw_face(1, 0).save('$@', quality=95)"

.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt $(CUDA)
	@touch $@

.venv/ready-dev: requirements/*.txt .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $@

# Training, input and inference beside a textbook's and PyTorch's; some five minutes.
bench: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bench.txt
	$(BIN)/python -m bench.speed

clean:
	rm -rf .venv .cache
