"""What a kernel does is told by its own name, and left open where that is not sure."""

import pytest

from analysis import groups

FLASH = (
    "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<"
    "(int)2, cute::tuple<cute::C<(int)1>>, (int)128, cutlass::bfloat16_t, float, cutlass::arch::Sm90, (bool)1>>>>"
    "(T1::Params)"
)
RMS_NORM = (
    "std::enable_if<T2>(int)0&&vllm::_typeConvert<T1>::exists, void>::type vllm::fused_add_rms_norm_kernel<"
    "c10::BFloat16, (int)8, (bool)1>(T1 *, long, T1 *, const T1 *, float, int, int)"
)
COPIES = (
    "void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda(at::TensorIteratorBase &)::"
    "[lambda() (instance 3)]::operator ()() const::[lambda(float) (instance 1)], std::array<char *, 2>>(int, T1)"
)
NAMES = {
    "GEMM": (
        "nvjet_sm90_tst_64x8_64x16_2x1_v_bz_splitK_TNT",
        "void cublasLt::splitKreduce_kernel<(int)32, (int)16, int, float>(cublasLt::cublasSplitKParams<T6>)",
        "void gemv2T_kernel_val<int, int, __nv_bfloat16, float>(T1)",
        "void cutlass::Kernel2<cutlass_80_wmma_tensorop_bf16_s161616gemm_bf16_16x16_128x2_tn_align8>(T1::Params)",
        "void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cute::tuple<int>>>(T1::Params)",
        "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x64x64_cublas",
        "fused_moe_kernel", "triton_tem_fused_mm_3", "_w8a8_block_fp8_matmul",
    ),
    "attention": (
        FLASH,
        "void cutlass::device_kernel<flash::FlashAttnFwdCombine<cute::tuple<cute::C<(int)8>>, (int)5>>(T1::Params)",
        "void flash::prepare_varlen_num_blocks_kernel<(int)1, (bool)0>(int, int)",
        "void flashinfer::BatchDecodeWithPagedKVCacheKernel<(flashinfer::PosEncodingMode)0>(T)",
        "void pytorch_flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<(int)128>>(Params)",
        "_fwd_grouped_kernel_stage1", "kernel_unified_attention_2d",
        "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128_4x1x1_cga1x1x1_kernel0_0",
    ),
    "norm": (
        RMS_NORM,
        "void vllm::rms_norm_kernel<c10::BFloat16, (int)8>(T1 *, const T1 *)",
        "void flashinfer::norm::FusedAddRMSNormKernel<(unsigned int)8, __nv_bfloat16>(T2 *, T2 *)",
        "triton_red_fused_fused_add_rms_norm_2", "triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_4",
        "triton_red_fused__to_copy_embedding_rms_norm_0",
    ),
    "activation": (
        "void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel<c10::BFloat16>>(T1 *, const T1 *, int)",
        "void <unnamed>::act_and_mul_kernel<__nv_bfloat16, (<unnamed>::ActivationKind)0>(<unnamed>::ActivationParams)",
        "triton_poi_fused_mul_silu_slice_1",
        "void at::native::vectorized_elementwise_kernel<(int)4, at::native::<unnamed>::silu_kernel(X &)>(int, T2, T3)",
    ),
    "rope/cache": (
        "void vllm::rotary_embedding_kernel<c10::BFloat16, c10::BFloat16, (bool)1>(const long *, T1 *)",
        "void <unnamed>::fused_rope_kernel<(bool)1, (long)128>(<unnamed>::FusedRopeParams)",
        "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(const T1 *)",
        "void <unnamed>::store_kvcache<(long)2048, (int)4, (bool)1, long>(<unnamed>::StoreKVCacheParams)",
        "void vllm::concat_and_cache_mla_kernel<float>(int)",
    ),
    "embedding": (
        "_vocab_parallel_embedding_kernel",
        "triton_poi_fused_add_bitwise_and_bitwise_not_embedding_ge_lt_masked_fill_mul_sub_unsqueeze_0",
    ),
    "elementwise": (
        "triton_poi_fused_3", "triton_poi_fused_add_bitwise_and_bitwise_or_ge_lt_mul_sub_0",
        "void at::native::vectorized_elementwise_kernel<(int)2, at::native::CUDAFunctorOnSelf_add<long>>(int, T2, T3)",
        "void <unnamed>::elementwise_kernel_with_index<int, at::native::arange_cuda_out(const c10::Scalar &)>(T1, T2)",
    ),
    "collective": (
        "void vllm::cross_device_reduce_1stage<__nv_bfloat16, (int)8>(vllm::RankData *, vllm::RankSignals)",
        "void <unnamed>::all_reduce_kernel<<unnamed>::AllReducePushImpl<__nv_bfloat16, (unsigned int)2>, (int)1>(P)",
        "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<(unsigned long)4096>)",
        "void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<(int)2>(P)",
    ),
    "copy": (
        COPIES,
        "void at::native::vectorized_elementwise_kernel<(int)4, at::native::FillFunctor<int>>(int, T2, T3)",
        "void at::native::index_elementwise_kernel<(int)128, (int)4, void at::native::gpu_index_kernel<X>>(T)",
        "void at::native::<unnamed>::indexSelectSmallIndex<c10::BFloat16, long, unsigned int>(T)",
        "void at::native::_scatter_gather_elementwise_kernel<(int)128, (int)8, X>(int, T3)",
        "void at::native::<unnamed>::CatArrayBatchedCopy_aligned16_contig<X>(T1)",
    ),
    "sampling": (
        "_gumbel_sample_kernel",
        "void at::native::reduce_kernel<(int)512, at::native::ReduceOp<float, at::native::ArgMaxOps<float>>>(T3)",
        "void flashinfer::sampling::TopPRenormProbKernel<(int)1>(float *)",
    ),
    "other": (
        "_prepare_pos_seq_lens_kernel", "_combine_sampled_and_draft_tokens_kernel", "_gather_block_tables_kernel",
        "void at_cuda_detail::cub::detail::scan::DeviceScanKernel<X>(T)",
        "void vllm::moe::topkGating<(int)8, (int)128>(int)",
        "void flashinfer::trtllm_allreduce_fusion::lamport_initialize_kernel<half>(half *)",
        "triton_per_fused__softmax_2", "kernel 17", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "group"), [(name, group) for group, names in NAMES.items() for name in names])
def test_a_kernel_is_grouped_by_what_it_does(name: str, group: str) -> None:
    assert groups.group(name) == group


@pytest.mark.parametrize(("kind", "group"), [("copy", "copy"), ("set", "copy"), ("graph", "whole graph")])
def test_what_is_no_kernel_is_grouped_by_its_kind(kind: str, group: str) -> None:
    assert groups.group("graph 3", kind) == group


@pytest.mark.parametrize(
    ("name", "function", "arguments"),
    [
        (RMS_NORM, "vllm::fused_add_rms_norm_kernel", "c10::BFloat16, (int)8, (bool)1"),
        ("void cutlass::device_kernel<flash::Combine<(int)5>>(T1::Params)", "flash::Combine", "(int)5>"),
        ("_gumbel_sample_kernel", "_gumbel_sample_kernel", ""),
        ("void <unnamed>::f<(anonymous namespace)::g<int>>(int) [clone .x]", "f", "unnamed::g<int>"),
        (")>", "", ""),
    ],
)
def test_the_function_is_read_from_the_end_of_a_name(name: str, function: str, arguments: str) -> None:
    assert groups.function(name) == (function, arguments)


def test_variants_of_a_kernel_are_a_family_and_what_torch_runs_by_functor_is_none() -> None:
    assert groups.family(FLASH) == groups.family(FLASH.replace("(bool)1", "(bool)0")) == "flash::FlashAttnFwdSm90"
    assert groups.family(COPIES) == COPIES
    assert groups.family("nvjet_sm90_tst_64x8_v_bz_TNT") != groups.family("nvjet_sm90_tst_128x8_v_bz_TNT")
