import pytest

from analysis.names import short

INDEX = (
    "void at::native::index_elementwise_kernel<(int)128, (int)4, void at::native::gpu_index_kernel<void "
    "at::native::index_kernel_impl<at::native::OpaqueType<(int)8>>(at::TensorIteratorBase &, c10::ArrayRef<long>)"
    "::[lambda(char *, const char *, long) (instance 1)]>(at::TensorIteratorBase &, const T1 &, bool)::[lambda(int) "
    "(instance 1)]>(long, T3)"
)
CAT = (
    "void at::native::<unnamed>::CatArrayBatchedCopy_alignedK_contig<at::native::<unnamed>::OpaqueType<(unsigned "
    "int)4>, unsigned int, (int)1>(T1 *, at::native::<unnamed>::CatArrInputTensorMetadata<T1, T2>, int, T2)"
)
APPLY = (
    "void at::native::<unnamed>::multi_tensor_apply_kernel<at::native::<unnamed>::TensorListMetadata<(int)2>, "
    "at::native::<unnamed>::UnaryOpFunctor<long, (int)2>, at::native::Copy<long, long>>(T1, T2, T3...)"
)
ARG_MAX = (
    "void at::native::reduce_kernel<(int)512, (int)1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, "
    "unsigned int, long, (int)4, (int)4>>(T3)"
)
FILL = (
    "void at::native::vectorized_elementwise_kernel<(int)4, at::native::FillFunctor<int>, std::array<char *, (unsigned "
    "long)1>>(int, T2, T3)"
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("void vllm::rms_norm_kernel<c10::BFloat16, (int)8>(T1 *, const T1 *, int)", "rms_norm_kernel"),
        (
            "void <unnamed>::all_reduce_kernel<<unnamed>::Push<__nv_bfloat16>, (int)1>(<unnamed>::Params)",
            "all_reduce_kernel",
        ),
        (
            "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<(unsigned long)4096>)",
            "ncclDevKernel_AllGather_RING_LL",
        ),
        ("triton_poi_fused_mul_silu_slice_1", "triton_poi_fused_mul_silu_slice_1"),
        ("copy DtoH", "copy DtoH"),
        ("graph 5", "graph 5"),
    ],
)
def test_a_kernel_is_called_by_its_function(name: str, expected: str) -> None:
    assert short(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (FILL, "vectorized_elementwise_kernel<FillFunctor>"),
        (INDEX, "index_elementwise_kernel<index_kernel_impl>"),
        (APPLY, "multi_tensor_apply_kernel<UnaryOpFunctor>"),
        (ARG_MAX, "reduce_kernel<ArgMaxOps>"),
        (CAT, "CatArrayBatchedCopy_alignedK_contig"),
    ],
)
def test_a_kernel_of_torch_is_called_by_what_it_applies(name: str, expected: str) -> None:
    assert short(name) == expected
