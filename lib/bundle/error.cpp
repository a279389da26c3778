#include "bundle/error.hpp"

namespace titip::bundle {

namespace {

class bundle_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "titip.bundle"; }

    std::string message(int value) const override
    {
        switch (static_cast<errc>(value)) {
        case errc::not_a_record:
            return "not a record's file";
        case errc::newer_format:
            return "written by a later version";
        case errc::cut_short:
            return "the file is not complete";
        case errc::damaged:
            return "the file no longer has the bytes that were written";
        case errc::wrong_envelope:
            return "the envelope in the file is not the one that its manifest names";
        case errc::no_manifest:
            return "no manifest in the file";
        case errc::name_taken:
            return "another record has this file's name";
        case errc::folder_missing:
            return "there is no such folder";
        case errc::not_kept:
            return "the disk does not give back what was written to it";
        }
        return "unknown error of a record's file";
    }
};

} // namespace

boost::system::error_code make_error_code(errc value) noexcept
{
    static const bundle_category category;
    return {static_cast<int>(value), category};
}

} // namespace titip::bundle
