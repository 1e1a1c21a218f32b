//! Nothing is allocated in the hot loops, and not much before them.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use scones_nn::{Architecture, Block, Network, Optimizer, Shape, StepSettings, Trainer, Transition};

/// The system's allocator, counted.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Bytes that are allocated now.
static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise; the pointer came from `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The fewest allocations of any of several equal calls.
///
/// What a hot loop allocates it allocates every time. The first calls set up
/// what the thread pool keeps, its queue takes a new block once in dozens of
/// jobs, and the test harness has a thread of its own: those do not repeat.
fn allocations(mut call: impl FnMut()) -> usize {
    let counted = (0..8).map(|_| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        call();
        ALLOCATIONS.load(Ordering::Relaxed) - before
    });
    counted.min().unwrap()
}

// One test, so that no other allocates at the same time.
#[test]
fn steps_and_inference_allocate_nothing_and_a_trainer_little() {
    let input = Shape {
        height: 32,
        width: 32,
        channels: 3,
    };
    let basic = Architecture::resnet(20, input, 4).unwrap();
    let bottleneck = Architecture {
        block: Block::Bottleneck,
        ..Architecture::resnet(8, input, 4).unwrap()
    };
    let pooled = Architecture {
        transition: Transition::Pooled,
        ..basic.clone()
    };
    for architecture in [basic, bottleneck, pooled] {
        let network = Network::new(architecture.clone(), 1).unwrap();
        let images = vec![0.5; 2 * input.length()];
        let targets = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let settings = StepSettings {
            learning_rate: 1e-3,
            weight_decay: 1e-4,
        };

        let inference = network.compile();
        for count in [1, 2] {
            let mut scratch = inference.scratch(count);
            let (images, mut logits) = (&images[..count * input.length()], vec![0.0; count * 4]);
            let counted = allocations(|| inference.logits(images, count, &mut scratch, &mut logits).unwrap());
            assert_eq!(counted, 0, "inference of {count}, {architecture:?}");
        }

        let mut trainer = Trainer::new(network, 2, Optimizer::default(), 2).unwrap();
        let counted = allocations(|| {
            trainer.step(&images, &targets, &settings).unwrap();
        });
        assert_eq!(counted, 0, "a step of {architecture:?}");
    }

    // The results of ResNet-20's convolutions for 64 images are 51 MB.
    let network = Network::new(Architecture::resnet(20, input, 10).unwrap(), 1).unwrap();
    let before = HELD.load(Ordering::Relaxed);
    let trainer = Trainer::new(network, 64, Optimizer::default(), 2).unwrap();
    let held = HELD.load(Ordering::Relaxed) - before;
    assert!(held < 66_000_000, "a trainer of ResNet-20 holds {held} bytes");
    drop(trainer);
}
